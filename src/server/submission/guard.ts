/** Where our faults stop. */
import type { Socket } from "node:net";
import { logBug } from "../log/log.ts";

/**
 * Does what an event of `socket` leads to. Nobody stands above an event to catch what it throws: without this a fault
 * of ours would end the relay, with it the one client.
 */
export function guarded(socket: Socket, work: () => void): void {
  try {
    work();
  } catch (error) {
    logBug("submission session", error);
    socket.destroy();
  }
}
