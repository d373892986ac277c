-- Reference copies that follow other modules' compacted topics: which version is in hand, and that the original was deleted.
-- A row that accounts name cannot be deleted, and a list of affected accounts needs it: `deleted_at` says that it is gone.
ALTER TABLE org_unit ADD COLUMN version BIGINT, ADD COLUMN deleted_at timestamptz;
ALTER TABLE automation_flow ADD COLUMN version BIGINT, ADD COLUMN deleted_at timestamptz;

-- How far a consumer came, moved in the transaction that holds what it took in: each record has its effect exactly once.
CREATE TABLE consumer_offset (
    consumer TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    topic_id UUID NOT NULL,
    next_offset BIGINT NOT NULL,
    CONSTRAINT pk_consumer_offset PRIMARY KEY (consumer, topic, partition)
);
GRANT SELECT, INSERT, UPDATE ON consumer_offset TO channels_api;

-- Unit and flow belong to the connector's tenant and still exist; a flow is published and of category `intake` when it is set.
-- FOR SHARE on both: whoever deletes or unpublishes one waits, and then finds this account among those that it must tell.
CREATE OR REPLACE FUNCTION account_route_is_usable() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    tenant uuid;
    unit org_unit;
    flow automation_flow;
    fresh boolean := TG_OP = 'INSERT';
BEGIN
    SELECT c.tenant_id INTO tenant FROM channel_connector c WHERE c.id = NEW.connector_id;
    IF NOT fresh THEN
        fresh := NEW.connector_id IS DISTINCT FROM OLD.connector_id;
    END IF;
    IF NEW.org_unit_id IS NOT NULL AND (fresh OR NEW.org_unit_id IS DISTINCT FROM OLD.org_unit_id) THEN
        SELECT * INTO unit FROM org_unit u WHERE u.id = NEW.org_unit_id AND u.tenant_id = tenant FOR SHARE;
        IF unit.id IS NULL OR unit.deleted_at IS NOT NULL THEN
            PERFORM channels_refuse('org_unit_unknown', 'this tenant has no such org_unit');
        END IF;
    END IF;
    IF NEW.intake_flow_id IS NULL OR NOT (fresh OR NEW.intake_flow_id IS DISTINCT FROM OLD.intake_flow_id) THEN
        RETURN NEW;
    END IF;
    SELECT * INTO flow FROM automation_flow f WHERE f.id = NEW.intake_flow_id AND f.tenant_id = tenant FOR SHARE;
    IF flow.id IS NULL OR flow.deleted_at IS NOT NULL THEN
        PERFORM channels_refuse('flow_unknown', 'this tenant has no such automation_flow');
    ELSIF NOT flow.published THEN
        PERFORM channels_refuse('flow_not_published', 'the flow is not published');
    ELSIF flow.category <> 'intake' THEN
        PERFORM channels_refuse('flow_not_intake', 'the flow is not of category intake');
    END IF;
    RETURN NEW;
END $$;

-- A connector has a name; a blank one is none.
ALTER TABLE channel_connector ADD CONSTRAINT ck_channel_connector_nome_missing CHECK (nome ~ '\S');

-- A connector's default fallback belongs to one of its own accounts, so that no message leaves through a stranger's.
CREATE FUNCTION default_fallback_is_own() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM channel_fallback f JOIN channel_account a ON a.id = f.account_id
        WHERE f.id = NEW.fallback_id AND a.connector_id = NEW.connector_id) THEN
        PERFORM channels_refuse('fallback_of_another_connector', 'a default fallback belongs to an account of its connector');
    END IF;
    RETURN NEW;
END $$;
REVOKE EXECUTE ON FUNCTION default_fallback_is_own() FROM PUBLIC;

CREATE TRIGGER default_fallback_is_own BEFORE INSERT OR UPDATE ON connector_default_fallback
FOR EACH ROW EXECUTE FUNCTION default_fallback_is_own();
