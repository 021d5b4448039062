/** `queue verify`: what is damaged in the spool, and, where that is asked for, what became of it. */
import { log } from "../log/log.ts";
import type { Fsck, KeptFile } from "../spool/fsck.ts";
import { repairText } from "../spool/fsck.ts";
import { frozenFault } from "./frozen.ts";
import { nameOperator } from "./operator.ts";
import type { Checked, VerifyOrder } from "./order.ts";

/** The file of frozen logins decides who may send: nobody but a person mends it. */
const frozenLogins: KeptFile = {
  name: "frozen",
  fault: frozenFault,
  repair: { because: "it says which logins are frozen; mend that line" },
};

/** Every damage; repaired one by one where `order` says so. `others` are further files that are kept in the spool. */
export async function* verify(
  { repair, by }: VerifyOrder,
  care: Pick<Fsck, "damage"> & Partial<Pick<Fsck, "repair">>,
  others: readonly KeptFile[],
): AsyncGenerator<Checked> {
  for await (const finding of care.damage([frozenLogins, ...others])) {
    const repaired = repair && care.repair !== undefined && (await care.repair(finding));
    const { fault, repair: remedy } = finding;
    if (repaired) log("spool-repaired", { fault, remedy: repairText(remedy), by: nameOperator(by) });
    yield { fault, remedy: repairText(remedy), repairable: remedy.do !== "nothing", repaired };
  }
}
