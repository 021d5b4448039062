/**
 * Whether descriptors run short. The kernel gives each socket the lowest number that is free, so the number of a new
 * one tells how many are in use. A client for whom there was none would see its connection end without a word.
 */
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";

/** Kept for the disk, for deliveries and for telling clients so. Our choice. */
const spare = 64;

/** As many as the process may have; Infinity where the system does not tell. */
export async function mostDescriptors(): Promise<number> {
  const limits = await readFile("/proc/self/limits", "utf8").catch(() => "");
  const found = /^Max open files +(\d+)/m.exec(limits)?.[1];
  return found === undefined ? Number.POSITIVE_INFINITY : Number(found);
}

/** Whether `socket` has one of the last descriptors of `most`. */
export function isShort(socket: Socket, most: number): boolean {
  return descriptorOf(socket) >= most - Math.min(spare, most / 4);
}

/** Node shows it nowhere else; 0 where it does not. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, "_handle");
  const number: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "fd") : 0;
  return typeof number === "number" ? number : 0;
}
