-- Rules that the database itself keeps, whoever writes. The CONSTRAINT of each error is the stable code that callers get.
-- Functions run as the owner, so that a rule holds for roles that may not read what the rule looks at.

CREATE FUNCTION channels_refuse(code text, explanation text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = explanation, ERRCODE = 'check_violation', CONSTRAINT = code;
END $$;

-- A rule that looks at other rows after taking a lock needs the rows as they are once the lock is held. A transaction with
-- one snapshot for all its statements would look at old rows, so it may not make the changes that depend on this.
CREATE FUNCTION channels_require_read_committed() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM channels_refuse('isolation_level', 'this change needs a READ COMMITTED transaction');
    END IF;
END $$;

-- Kinds that count as the token a provider asks for: a refresh token or a client secret alone opens nothing.
CREATE FUNCTION connector_has_token(connector uuid, valid_only boolean) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT 1 FROM channel_token t
        WHERE t.connector_id = connector AND t.kind IN ('access_token', 'api_key')
          AND (NOT valid_only OR t.expires_at IS NULL OR t.expires_at > now()))
$$;

CREATE FUNCTION tipo_needs_token(tipo channel_type) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT tipo IN ('whatsapp_official', 'whatsapp_unofficial', 'telegram')
$$;

-- Connector: nothing leaves `archived`; `active` needs a valid token (where the provider does) and one non-failed check.
CREATE FUNCTION connector_status_is_allowed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.tenant_id <> NEW.tenant_id THEN
            PERFORM channels_refuse('connector_tenant_fixed', 'a connector stays with its tenant');
        END IF;
        IF OLD.status = NEW.status THEN
            RETURN NEW;
        END IF;
        IF OLD.status = 'archived' THEN
            PERFORM channels_refuse('illegal_transition', 'an archived connector stays archived');
        END IF;
    END IF;
    IF NEW.status = 'active' THEN
        IF tipo_needs_token(NEW.tipo) AND NOT connector_has_token(NEW.id, false) THEN
            PERFORM channels_refuse('token_missing', 'this provider needs a token before its connector can be active');
        END IF;
        IF tipo_needs_token(NEW.tipo) AND NOT connector_has_token(NEW.id, true) THEN
            PERFORM channels_refuse('token_expired', 'every token of this connector has expired');
        END IF;
        IF NOT EXISTS (SELECT 1 FROM channel_health_check h WHERE h.connector_id = NEW.id AND h.status <> 'failed') THEN
            PERFORM channels_refuse('check_missing', 'a connector needs one check that did not fail before it can be active');
        END IF;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER connector_status_is_allowed BEFORE INSERT OR UPDATE OF status, tenant_id ON channel_connector
FOR EACH ROW EXECUTE FUNCTION connector_status_is_allowed();

-- When a connector leaves `active` its active accounts turn pending with it, and those (no others) return with it.
CREATE FUNCTION connector_status_reaches_accounts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM channels_require_read_committed();
    IF NEW.status = 'active' THEN
        UPDATE channel_account a SET status = 'active'
        FROM account_state s
        WHERE s.account_id = a.id AND s.cause IS NOT NULL AND a.connector_id = NEW.id AND a.status = 'pending';
        RETURN NULL;
    END IF;
    WITH turned AS (
        UPDATE channel_account SET status = 'pending' WHERE connector_id = NEW.id AND status = 'active' RETURNING id
    )
    INSERT INTO account_state (account_id, cause) SELECT id, 'connector_' || NEW.status FROM turned
    ON CONFLICT (account_id) DO UPDATE SET cause = excluded.cause, since = now();
    UPDATE account_state s SET cause = 'connector_' || NEW.status
    FROM channel_account a
    WHERE a.id = s.account_id AND a.connector_id = NEW.id AND s.cause <> 'connector_' || NEW.status;
    RETURN NULL;
END $$;

CREATE TRIGGER connector_status_reaches_accounts AFTER UPDATE OF status ON channel_connector
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION connector_status_reaches_accounts();

-- An active account needs an active connector. FOR SHARE makes a change of the connector and this one wait for each other.
CREATE FUNCTION account_needs_active_connector() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    connector connector_status;
BEGIN
    SELECT c.status INTO connector FROM channel_connector c WHERE c.id = NEW.connector_id FOR SHARE;
    IF connector <> 'active' THEN
        PERFORM channels_refuse('connector_not_active', 'an active account needs an active connector');
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER account_needs_active_connector BEFORE INSERT OR UPDATE OF status, connector_id ON channel_account
FOR EACH ROW WHEN (NEW.status = 'active') EXECUTE FUNCTION account_needs_active_connector();

-- Whoever makes the account anything but pending ends the memory that only its connector kept it down.
CREATE FUNCTION account_forgets_cause() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE account_state SET cause = NULL, since = now() WHERE account_id = NEW.id AND cause IS NOT NULL;
    RETURN NULL;
END $$;

CREATE TRIGGER account_forgets_cause AFTER UPDATE OF status ON channel_account
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status AND NEW.status <> 'pending')
EXECUTE FUNCTION account_forgets_cause();

-- Unit and flow belong to the connector's tenant; a flow is published and of category `intake` when it is set. FOR SHARE
-- on the flow: whoever unpublishes it waits, and then finds this account among those that need a new snapshot.
CREATE FUNCTION account_route_is_usable() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    tenant uuid;
    flow automation_flow;
    fresh boolean := TG_OP = 'INSERT';
BEGIN
    SELECT c.tenant_id INTO tenant FROM channel_connector c WHERE c.id = NEW.connector_id;
    IF NOT fresh THEN
        fresh := NEW.connector_id IS DISTINCT FROM OLD.connector_id;
    END IF;
    IF NEW.org_unit_id IS NOT NULL AND (fresh OR NEW.org_unit_id IS DISTINCT FROM OLD.org_unit_id)
       AND NOT EXISTS (SELECT 1 FROM org_unit u WHERE u.id = NEW.org_unit_id AND u.tenant_id = tenant) THEN
        PERFORM channels_refuse('org_unit_unknown', 'this tenant has no such org_unit');
    END IF;
    IF NEW.intake_flow_id IS NULL OR NOT (fresh OR NEW.intake_flow_id IS DISTINCT FROM OLD.intake_flow_id) THEN
        RETURN NEW;
    END IF;
    SELECT * INTO flow FROM automation_flow f WHERE f.id = NEW.intake_flow_id AND f.tenant_id = tenant FOR SHARE;
    IF flow.id IS NULL THEN
        PERFORM channels_refuse('flow_unknown', 'this tenant has no such automation_flow');
    ELSIF NOT flow.published THEN
        PERFORM channels_refuse('flow_not_published', 'the flow is not published');
    ELSIF flow.category <> 'intake' THEN
        PERFORM channels_refuse('flow_not_intake', 'the flow is not of category intake');
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER account_route_is_usable BEFORE INSERT OR UPDATE OF connector_id, org_unit_id, intake_flow_id ON channel_account
FOR EACH ROW EXECUTE FUNCTION account_route_is_usable();

-- The last valid token of an active connector stays. Deferred to the commit, so that a rotation may delete before it
-- inserts; the lock makes two transactions that each take away one of two tokens see each other.
CREATE FUNCTION connector_keeps_a_token() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    connector channel_connector;
BEGIN
    IF OLD.kind NOT IN ('access_token', 'api_key') OR OLD.expires_at <= now() THEN
        RETURN NULL;  -- it did not count before either
    END IF;
    PERFORM channels_require_read_committed();
    SELECT * INTO connector FROM channel_connector c WHERE c.id = OLD.connector_id FOR NO KEY UPDATE;
    IF connector.status = 'active' AND tipo_needs_token(connector.tipo) AND NOT connector_has_token(connector.id, true) THEN
        PERFORM channels_refuse('token_missing', 'an active connector keeps at least one valid token');
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER connector_keeps_a_token AFTER DELETE OR UPDATE OF connector_id, kind, expires_at ON channel_token
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION connector_keeps_a_token();
