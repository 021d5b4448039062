/** `queue verify`: what is damaged in the spool, and, where that is asked for, what became of it. */
import { log } from "../log/log.ts";
import type { Care, Keepsake } from "../spool/care.ts";
import { remedyText } from "../spool/care.ts";
import { frozenFault } from "./frozen.ts";
import { nameOperator } from "./operator.ts";
import type { Checked, VerifyOrder } from "./order.ts";

/** The file of frozen logins decides who may send: nobody but a person mends it. */
const frozenLogins: Keepsake = {
  name: "frozen",
  fault: frozenFault,
  remedy: { because: "it says which logins are frozen; mend that line" },
};

/** Every damage; repaired one by one where `order` says so. `others` are further files that are kept in the spool. */
export async function* verify(
  { repair, by }: VerifyOrder,
  care: Pick<Care, "damage"> & Partial<Pick<Care, "repair">>,
  others: readonly Keepsake[],
): AsyncGenerator<Checked> {
  for await (const finding of care.damage([frozenLogins, ...others])) {
    const repaired = repair && care.repair !== undefined && (await care.repair(finding));
    const { fault, remedy } = finding;
    if (repaired) log("spool-repaired", { fault, remedy: remedyText(remedy), by: nameOperator(by) });
    yield { fault, remedy: remedyText(remedy), repairable: remedy.do !== "nothing", repaired };
  }
}
