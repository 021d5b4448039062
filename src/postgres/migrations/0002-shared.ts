/**
 * What hosts know together: what logins sent, which are frozen, wrong passwords, MTA-STS policies. `changed` is the number of
 * the transaction that wrote a row: whoever looks again for rows from the oldest open transaction on misses none.
 */
export const shared = `
-- Keys of the digests below.
CREATE TABLE secrets (
  name text PRIMARY KEY,
  key bytea NOT NULL
);

-- What each login sent within its limits. A row is locked by whoever promises a message of the login.
CREATE TABLE usage (
  login text COLLATE "C" PRIMARY KEY,
  state text NOT NULL DEFAULT '',
  changed xid8 NOT NULL DEFAULT pg_current_xact_id()
) WITH (fillfactor = 70);
CREATE INDEX usage_changed ON usage (changed);

-- To whom each login has written, as digests. A row is written by whoever has locked the login's row above.
CREATE TABLE correspondents (
  login text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  day int NOT NULL, -- of the last message, counted from 1970
  changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (login, digest)
) WITH (fillfactor = 90);

CREATE TABLE frozen (
  login text COLLATE "C" PRIMARY KEY,
  at bigint NOT NULL, -- milliseconds since 1970
  by text NOT NULL,
  reason text NOT NULL
);

-- What the hosts tell each other of logins that failed and succeeded. A crash of the database forgets it, as a restart of a
-- host did before.
CREATE UNLOGGED TABLE guesses (
  origin text NOT NULL, -- one start of a relay
  number bigint NOT NULL, -- in the order in which that relay told it
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
  kind text NOT NULL,
  person text NOT NULL,
  network text NOT NULL,
  guess text NOT NULL,
  PRIMARY KEY (origin, number)
);
CREATE INDEX guesses_changed ON guesses (changed);
CREATE INDEX guesses_at ON guesses (at);

CREATE TABLE sts (
  domain text PRIMARY KEY,
  id text NOT NULL,
  fetched bigint NOT NULL, -- milliseconds since 1970
  used bigint NOT NULL,
  text text NOT NULL,
  changed xid8 NOT NULL DEFAULT pg_current_xact_id()
);
`;
