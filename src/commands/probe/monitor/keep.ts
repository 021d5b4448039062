/** `--listen`: probes every interval until it is told to stop, and offers its figures. */
import { setTimeout as wait } from "node:timers/promises";
import { type Address, writeAddress } from "../../../config/kinds.ts";
import type { Probes } from "../../../config/probes.ts";
import { exitStatus } from "../../../failure.ts";
import { startHttp } from "../../../server/log/http.ts";
import type { Figures } from "./metrics.ts";
import type { Monitor } from "./once.ts";

/** Returns 0 when `signal` has come and the round under way is over. */
export async function keepProbing(
  monitor: Monitor,
  { interval }: Probes,
  { address, figures }: { readonly address: Address; readonly figures: Figures },
  signal: AbortSignal,
): Promise<number> {
  let trouble: string | undefined;
  const pages = {
    metrics: () => figures.page(),
    health: () =>
      trouble === undefined ? ({ ok: true } as const) : ({ ok: false, reason: trouble } as const),
  };
  const http = await startHttp(address, pages, "--listen");
  say(`metrics on http://${writeAddress({ ...address, port: http.address.port })}/metrics`);
  try {
    while (!signal.aborted) {
      const next = Date.now() + interval;
      const told = await monitor.round(signal, ({ route, outcome, words, grade }) => {
        if (grade !== 0) say(`${route}: ${outcome}: ${words}`);
      });
      trouble = told.trouble; // a full disk passes, and monitoring hears of it
      if (trouble !== undefined) say(trouble);
      await wait(Math.max(0, next - Date.now()), undefined, { signal }).catch(() => undefined); // told to stop
    }
  } finally {
    await http.close();
  }
  return exitStatus.ok;
}

const say = (text: string): void => void process.stderr.write(`tpa-submit probe monitor: ${text}\n`);
