-- What a rebuilt catalog goes on from, and who may take backups away.

-- After a rebuild the audit chain goes on from the head that the store recorded, and attempts are numbered above every
-- one that left something in a store: nothing may ever be written twice under one attempt's prefix.
ALTER TABLE bkup.meta
    ADD COLUMN audit_base_rows bigint NOT NULL DEFAULT 0 CHECK (audit_base_rows >= 0),
    ADD COLUMN audit_base_head text,
    ADD COLUMN claims_base     bigint NOT NULL DEFAULT 0 CHECK (claims_base >= 0),
    ADD COLUMN rebuilt_at      timestamptz,
    ADD CHECK ((audit_base_rows = 0) = (audit_base_head IS NULL));

CREATE FUNCTION bkup.number_above_base() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog
    AS $$ BEGIN
        NEW.token := NEW.token + coalesce((SELECT claims_base FROM bkup.meta), 0);
        RETURN NEW;
    END $$;
CREATE TRIGGER number_above_base BEFORE INSERT ON bkup.claims FOR EACH ROW EXECUTE FUNCTION bkup.number_above_base();

-- Grants alone cannot say this: a runner has to update the rows of its backups, and a column that a later version adds
-- would be open to it. Where the role bkup_pruner was never made, ownership and grants are all there is.
CREATE FUNCTION bkup.may_delete() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog
    AS $$ SELECT coalesce(pg_has_role(to_regrole('bkup_pruner')::oid, 'USAGE'), true)
              OR (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'bkup.executions'::regclass) $$;

CREATE FUNCTION bkup.refuse_deletion() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog
    AS $$ BEGIN
        IF NOT bkup.may_delete() THEN
            RAISE EXCEPTION 'role "%" may not mark backups deleted, which is for members of bkup_pruner', current_user
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN coalesce(NEW, OLD);
    END $$;

-- To bring a backup back is no deletion: a tombstone may be cleared by whoever may update the row.
CREATE TRIGGER only_pruners_mark BEFORE UPDATE ON bkup.executions FOR EACH ROW
    WHEN (OLD.deleted IS DISTINCT FROM NEW.deleted
          OR NEW.tombstoned_at IS NOT NULL AND OLD.tombstoned_at IS DISTINCT FROM NEW.tombstoned_at
          OR NEW.purge_after IS NOT NULL AND OLD.purge_after IS DISTINCT FROM NEW.purge_after
          OR OLD.purge_begun_at IS DISTINCT FROM NEW.purge_begun_at
          OR OLD.purged_at IS DISTINCT FROM NEW.purged_at
          OR OLD.status = 'COMPLETED' AND NEW.status IS DISTINCT FROM 'COMPLETED')
    EXECUTE FUNCTION bkup.refuse_deletion();
CREATE TRIGGER only_pruners_delete BEFORE DELETE ON bkup.executions FOR EACH ROW
    EXECUTE FUNCTION bkup.refuse_deletion();

-- Rows wait here for the archive once they are gone from the store.
CREATE INDEX executions_purged ON bkup.executions (purged_at) WHERE deleted;
