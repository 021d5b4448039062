/** The queue, and who delivers what of it. */
export const spool = `
CREATE TABLE tpa_format (version int NOT NULL);
INSERT INTO tpa_format VALUES (0);

-- Each host that ever took part, and the digit in which its queue IDs end.
CREATE TABLE hosts (
  name text PRIMARY KEY,
  mark char(1) NOT NULL UNIQUE CHECK (mark ~ '^[0-9A-F]$')
);

-- One row for each start of a relay. Its number is in each row that the relay may change.
CREATE TABLE leases (
  number bigserial PRIMARY KEY,
  host text NOT NULL,
  owner text NOT NULL, -- of the host's own folder: a start ends the leases that the last one left
  until timestamptz NOT NULL,
  seen timestamptz NOT NULL,
  ended boolean NOT NULL DEFAULT false,
  draining boolean NOT NULL DEFAULT false,
  version text NOT NULL
);
CREATE INDEX leases_host ON leases (host, number);

CREATE TABLE messages (
  id text PRIMARY KEY,
  lease bigint, -- NULL: anybody's
  due bigint NOT NULL, -- milliseconds since 1970
  login text,
  envelope text NOT NULL,
  size bigint NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX messages_lease ON messages (lease);
CREATE INDEX messages_login ON messages (login);

-- The octets of a message, in pieces that are read one after the other.
CREATE TABLE bodies (
  id text NOT NULL,
  piece int NOT NULL,
  octets bytea NOT NULL,
  PRIMARY KEY (id, piece)
);
-- Mail does not become smaller, and a part of it can be had without the rest.
ALTER TABLE bodies ALTER COLUMN octets SET STORAGE EXTERNAL;

-- Large messages whose pieces come before the promise.
CREATE TABLE drafts (
  id text PRIMARY KEY,
  lease bigint NOT NULL
);
CREATE INDEX drafts_lease ON drafts (lease);

CREATE TABLE history (
  id text NOT NULL,
  number bigserial,
  line text NOT NULL,
  PRIMARY KEY (id, number)
);
`;
