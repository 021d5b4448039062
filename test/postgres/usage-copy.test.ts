/** What logins sent comes from files into the database once, wherever the command that brings it is killed. */
import { afterAll, describe, expect, test, vi } from "vitest";
import { DatabaseAway, openDatabase } from "../../src/postgres/database.ts";
import { usageIntoDatabase } from "../../src/server/shared/usage-copy.ts";
import { parseState } from "../../src/server/shared/usage-state.ts";
import type { ParcelSender } from "../../src/server/spool/parcel.ts";
import { noteSentCounted, openStoreImports } from "../../src/server/spool/postgres/imports.ts";
import { day, total } from "../../src/server/submission/limits/sliding-window.ts";
import { formatEntry, formatKey } from "../../src/server/submission/limits/usage-file.ts";
import { real } from "../tools/real.ts";
import { accessOf, type Cluster, startCluster } from "./cluster.ts";
import { openWire } from "./wire.ts";

describe.skipIf(!real("postgresql"))("with PostgreSQL", () => {
  let started: Promise<Cluster> | undefined;
  afterAll(async () => (await started)?.close());

  /** Each life of the command: it is cut off before one more message of its connection, and begins again. */
  test("usage is counted once, wherever its copy is cut off", async () => {
    started ??= startCluster();
    const cluster = await started;
    const wire = await openWire(cluster.folder, cluster.port);
    const now = Date.now();
    const sent = { at: now, messages: 1, recipients: 2, newRecipients: 1, addresses: [] };
    const logins = Array.from({ length: 600 }, (_, at) => `user${String(at)}`); // more than go at a time
    const text = `${formatKey(Buffer.alloc(32, 7))}${logins.map((login) => formatEntry({ login, ...sent })).join("")}`;

    const url = await cluster.database();

    async function copyIt(cutBefore?: number): Promise<void> {
      const database = await openDatabase(await accessOf(wire.through(url)), "copy");
      try {
        wire.arm(cutBefore);
        const handover = "A".repeat(16);
        const sender: ParcelSender = { kind: "take", spool: "B".repeat(16), host: "b.example.org", handover };
        const imports = await openStoreImports(database, sender);
        if (imports.extras.has("sent")) return;
        await usageIntoDatabase(database, text, (query) => noteSentCounted(query, handover));
        await imports.add("sent");
      } finally {
        await database.close();
      }
    }

    const look = await openDatabase(await accessOf(url), "look");
    try {
      const counted = async (): Promise<readonly number[]> => {
        const rows = await look.query<{ state: string }>("SELECT state FROM usage");
        return rows.map(({ state }) => total(parseState(state).recipients, day, now));
      };
      const whole = logins.map(() => 2);
      const begin = () => look.query("TRUNCATE usage, correspondents, imports, import_pairs");
      for (const _ of ["with the key of the file from now on", "rehearsed"]) {
        await begin();
        await copyIt();
        expect(await counted()).toEqual(whole);
      }
      const seen = [...wire.seen];
      wire.heal();
      // Before each question and before each answer, but not before the last goodbye.
      const isTurn = (message: string, at: number): boolean =>
        message !== "> X" && message[0] !== seen[at - 1]?.[0];
      const places = seen.flatMap((message, at) => (isTurn(message, at) ? [at] : []));
      expect(places.length).toBeGreaterThan(20);
      for (const place of places) {
        await begin();
        await expect(copyIt(place)).rejects.toBeInstanceOf(DatabaseAway);
        wire.heal();
        await vi.waitFor(() => copyIt(), { timeout: 20_000, interval: 20 });
        wire.heal();
        expect(await counted(), `cut before message ${String(place)}`).toEqual(whole);
      }
    } finally {
      await look.close();
      await wire.close();
    }
  }, 120_000);
});
