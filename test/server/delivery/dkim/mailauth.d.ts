/** The part of mailauth that the tests use; it comes without types. */
declare module "mailauth/lib/dkim/verify.js" {
  export function dkimVerify(
    input: Buffer,
    options: { readonly resolver: (name: string, type: string) => Promise<string[][]> },
  ): Promise<unknown>;
}

declare module "mailauth/lib/dkim/sign.js" {
  export function dkimSign(input: Buffer, options: object): Promise<unknown>;
}
