/** Whether tests may do `what` that only root may: call it while they are being declared. Where not, it is said aloud. */
export function asRoot(what: string): boolean {
  const isRoot = process.geteuid?.() === 0;
  if (!isRoot) process.stderr.write(`\n*** SKIPPED, only root may: ${what} ***\n`);
  return isRoot;
}
