/** A Unix socket that cannot be had as it is wanted. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listenOnUnixSocket } from "../../../src/unix-socket.ts";

test("a socket that cannot be given to its group is closed, so that the program ends", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-socket-"));
  const server = createServer();
  try {
    const options = { path: join(folder, "door"), setting: "portal.socket", gid: -2 };
    await expect(listenOnUnixSocket(server, options)).rejects.toThrow(/cannot listen for requests: /);
    expect(server.listening).toBe(false);
  } finally {
    server.close();
    await rm(folder, { recursive: true });
  }
});
