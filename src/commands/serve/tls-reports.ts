/** TLS reports as the configuration has them: the tally in a file of the spool, and the round that sends what is due. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Config } from "../../config/settings.ts";
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText } from "../../failure.ts";
import type { ObserveTls } from "../../server/delivery/tls/observation.ts";
import { log, logBug } from "../../server/log/log.ts";
import type { Envelope } from "../../server/spool/envelope.ts";
import type { Spool } from "../../server/spool/spool.ts";
import { sendRound } from "../../server/tls-reports/sender.ts";
import { newTlsTally, type TlsTally } from "../../server/tls-reports/tally.ts";
import { reportPoster } from "../../server/tls-reports/web.ts";
import { resolverFor } from "./delivery.ts";

export interface TlsReports {
  /** For deliveries; undefined where no reports are sent. */
  readonly observe: ObserveTls | undefined;
  /** Sends what is due, from now on. */
  begin(spool: Pick<Spool, "draft">, wake: (envelope: Envelope) => void): { close(): Promise<void> };
  close(): Promise<void>;
}

/** Milliseconds between two looks at what is to be written: what a crash may lose. Our choices. */
const saveEvery = 60_000;
const hour = 3_600_000;
const betweenDomains = 1_000;

/** Opens the tally. A file that cannot be read costs the counts in it. */
export async function openTlsReports(config: Config): Promise<TlsReports> {
  if (!config["tls-reports"].send) {
    return {
      observe: undefined,
      begin: () => ({ close: async () => undefined }),
      close: async () => undefined,
    };
  }
  const file = join(config.spool.directory, "tls-reports");
  const tally = newTlsTally(await textOf(file), Date.now);
  let writing = Promise.resolve();
  let unsaved = false;

  /** One after the other, so that an older text never replaces a newer one. */
  function save(): Promise<void> {
    const run = writing.then(async () => {
      unsaved = tally.hasChanged() || unsaved;
      if (unsaved) await replaceFile(file, tally.text(), { mode: 0o600 });
      unsaved = false;
    });
    writing = run.catch(() => undefined); // told to who asked
    return run;
  }

  async function saveQuietly(): Promise<void> {
    try {
      await save();
    } catch (error) {
      if (errorCode(error) === "") logBug("TLS reports", error);
      else log("tls-reports-unsaved", { reason: errorText(error) });
    }
  }

  const saving = setInterval(() => void saveQuietly(), saveEvery).unref();
  return {
    observe: tally.add,
    begin: (spool, wake) => startSending(config, tally, save, spool, wake),
    async close() {
      clearInterval(saving);
      await saveQuietly();
    },
  };
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (errorCode(error) !== "ENOENT") log("tls-reports-unsaved", { reason: errorText(error) });
    return "";
  }
}

/** A round an hour, each at its own minute and second, so that not everybody reports at midnight (RFC 8460 section 4.1). */
function startSending(
  config: Config,
  tally: TlsTally,
  save: () => Promise<void>,
  spool: Pick<Spool, "draft">,
  wake: (envelope: Envelope) => void,
): { close(): Promise<void> } {
  const { delivery, hostname, domain } = config;
  const { organization, contact, delay } = config["tls-reports"];
  const resolver = resolverFor(delivery);
  const stop = new AbortController();
  const dependencies = {
    tally,
    save,
    resolver,
    spool,
    wake,
    post: reportPoster({ resolver, privateAddresses: delivery["private-addresses"] }),
    pause: () => pause(betweenDomains, undefined, { signal: stop.signal }).catch(() => undefined), // told to stop
    reporting: {
      organization: organization === "" ? domain : organization,
      contact: contact === "" ? `postmaster@${domain}` : contact,
      domain,
      hostname,
    },
    now: Date.now,
  };

  async function keepSending(): Promise<void> {
    await pause(Math.random() * delay, undefined, { signal: stop.signal, ref: false });
    while (!stop.signal.aborted) {
      await sendRound(dependencies, stop.signal);
      await pause(hour, undefined, { signal: stop.signal, ref: false });
    }
  }

  const sending = keepSending().catch((error: unknown) => {
    if (errorCode(error) !== "ABORT_ERR") logBug("TLS reports", error);
  });
  return {
    async close() {
      stop.abort();
      await sending;
    },
  };
}
