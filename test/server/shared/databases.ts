/** Hosts that share a database of a real PostgreSQL. */
import { afterAll, afterEach, beforeAll } from "vitest";
import { type Database, openDatabase } from "../../../src/postgres/database.ts";
import { accessOf, type Cluster, startCluster } from "../../postgres/cluster.ts";

export interface SharedDatabases {
  cluster(): Cluster;
  /** A new database with the program's tables. */
  make(): Promise<string>;
  /** A host's connections to it, closed after the test. */
  connect(url: string, host?: string): Promise<Database>;
  /** Closed after the test, before the connections are. */
  open<Part extends { close(): Promise<void> }>(part: Part): Part;
}

/** Call while tests are being declared, where PostgreSQL is there. */
export function sharedDatabases(): SharedDatabases {
  let cluster: Cluster | undefined;
  const opened: { close(): Promise<void> }[] = [];
  const there = (): Cluster => {
    if (!cluster) throw new Error("the cluster is not started yet");
    return cluster;
  };
  const open = <Part extends { close(): Promise<void> }>(part: Part): Part => {
    opened.push(part);
    return part;
  };
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterEach(async () => {
    for (const part of opened.splice(0).reverse()) await part.close();
  });
  afterAll(async () => cluster?.close());
  return {
    cluster: there,
    make: () => there().database(),
    connect: async (url, host = "a.example.org") => open(await openDatabase(await accessOf(url), host)),
    open,
  };
}

/** Waits until `isSo` gives true, for half a minute. */
export async function eventually(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let waited = 0; !(await isSo()); waited += 20) {
    if (waited > 30_000) throw new Error(`it did not come to this: ${isSo.toString()}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}
