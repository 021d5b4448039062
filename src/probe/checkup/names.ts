/** What the checkup asks the DNS, and what came of it. Who is asked is the caller's: node:dns fits, and a table in a test. */
import { errorCode } from "../../failure.ts";

/** Each function rejects with the error codes of node:dns. */
export interface Names {
  resolve4(name: string): Promise<readonly string[]>;
  resolve6(name: string): Promise<readonly string[]>;
  /** Each record as the strings that it is made of. */
  resolveTxt(name: string): Promise<readonly (readonly string[])[]>;
  resolveMx(name: string): Promise<readonly { readonly exchange: string; readonly priority: number }[]>;
  resolveCname(name: string): Promise<readonly string[]>;
  resolveSrv(
    name: string,
  ): Promise<readonly { readonly name: string; readonly port: number; readonly priority: number }[]>;
  /** Names of an address. */
  reverse(address: string): Promise<readonly string[]>;
}

/** The records that a question brought: none where there are none; "trouble" where nobody can say. */
export async function records<Value>(
  question: Promise<readonly Value[]>,
): Promise<readonly Value[] | "trouble"> {
  try {
    return await question;
  } catch (error) {
    const code = errorCode(error);
    if (code === "") throw error;
    return ["ENODATA", "ENOTFOUND", "EBADNAME"].includes(code) ? [] : "trouble";
  }
}
