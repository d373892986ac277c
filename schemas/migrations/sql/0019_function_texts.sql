-- The function of 0011 as it is written there. Until now the places of its two states arrived as `$1` and `$2`, and a refusal named neither.
CREATE OR REPLACE FUNCTION held_record_moves_on() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT (OLD.state = 'waiting' AND NEW.state = 'sent' OR OLD.state = 'sent' AND NEW.state IN ('waiting', 'done')) THEN
        PERFORM channels_refuse('held_state', format('a held record does not go from %s to %s', OLD.state, NEW.state));
    END IF;
    NEW.done_at := CASE WHEN NEW.state = 'done' THEN now() END;
    NEW.sent_at := CASE WHEN NEW.state = 'sent' THEN now() ELSE OLD.sent_at END;
    RETURN NEW;
END $$;
