/** What operators ask of hosts, and what came from other spools, or went to one. */
export const operators = `
-- What one host's operators ask of the relay that has a lease, and what it answers.
CREATE TABLE requests (
  number bigserial PRIMARY KEY,
  lease bigint NOT NULL,
  request text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  taken timestamptz
);
CREATE INDEX requests_lease ON requests (lease);

CREATE TABLE answers (
  request bigint NOT NULL REFERENCES requests ON DELETE CASCADE,
  number bigserial,
  lines text NOT NULL,
  last boolean NOT NULL,
  PRIMARY KEY (request, number)
);

-- One row: which database this is, and to whom its messages went, if they did.
CREATE TABLE identity (
  id text NOT NULL,
  handover text,
  taken_by text,
  taken_host text,
  taken_at timestamptz
);
INSERT INTO identity (id) VALUES (replace(gen_random_uuid()::text, '-', ''));

-- From which spools messages came, and which, so that none comes twice.
CREATE TABLE imports (
  handover text PRIMARY KEY,
  kind text NOT NULL,
  spool text NOT NULL,
  host text NOT NULL,
  frozen boolean NOT NULL DEFAULT false,
  sent boolean NOT NULL DEFAULT false
);

CREATE TABLE import_pairs (
  handover text NOT NULL REFERENCES imports,
  there text NOT NULL,
  here text NOT NULL,
  done boolean NOT NULL DEFAULT false,
  PRIMARY KEY (handover, there, here)
);
CREATE INDEX import_pairs_open ON import_pairs (here) WHERE NOT done;
`;
