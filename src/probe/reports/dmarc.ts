/**
 * A DMARC aggregate report: the schema of RFC 7489 appendix C and that of RFC 9990, as generators really write them. They
 * leave elements out, add others, and use either name space or none, so elements are known by their place.
 */
import { isIP } from "node:net";
import {
  checkRange,
  countIn,
  type Disposition,
  type DmarcReport,
  type DmarcRow,
  dispositions,
  mostRows,
  plainDomain,
  plainWords,
  Unreadable,
} from "./report.ts";
import { openXml } from "./xml.ts";

export interface DmarcReader {
  /** The next characters, cut anywhere. Throws Unreadable. */
  write(chunk: string): void;
  /** Undefined where the document is another one than a report. `now` is in milliseconds since the epoch. */
  end(now: number): DmarcReport | undefined;
}

/** Characters of an element's text; what is longer is cut. */
const longestText = 512;

/** What is known of the record that is being read. */
interface ReportDraft {
  source: string;
  count?: number;
  dkim: boolean;
  spf: boolean;
  disposition: Disposition;
  reason: string;
  /** Domains that passed, and whether they did. */
  signer: string;
  sender: string;
  domain: string;
}

const emptyDraft = (): ReportDraft => ({
  source: "",
  dkim: false,
  spf: false,
  disposition: "none",
  reason: "",
  signer: "",
  sender: "",
  domain: "",
});

export function openDmarc(): DmarcReader {
  const path: string[] = [];
  const head = new Map<string, string>();
  const rows: DmarcRow[] = [];
  let draft = emptyDraft();
  let text = "";
  let isReport = true;

  const reader = openXml({
    open(name) {
      if (path.push(name) === 1) isReport = name === "feedback";
      text = "";
      const place = path.join("/");
      if (place === "feedback/record") draft = emptyDraft();
      if (place === `${auth}dkim` || place === `${auth}spf`) draft.domain = "";
    },
    text(piece) {
      if (text.length < longestText) text += piece.slice(0, longestText);
    },
    close() {
      const place = path.join("/");
      path.pop();
      const value = text.trim();
      text = "";
      if (!isReport) return;
      if (place === "feedback/record") add();
      else if (place.startsWith("feedback/record/")) fields[place]?.(draft, value);
      else if (value !== "" && !head.has(place)) head.set(headPlaces.has(place) ? place : "", value);
    },
  });

  function add(): void {
    if (rows.length >= mostRows) throw new Unreadable(`it has more than ${mostRows} records`);
    const { source, count, dkim, spf, disposition, reason, signer, sender } = draft;
    if (count === undefined) throw new Unreadable("a record has no count");
    const via = dkim || spf ? "" : signer || sender;
    rows.push({ source, count, dkim, spf, disposition, via, reason });
  }

  return {
    write: (chunk) => reader.write(chunk),
    end(now) {
      reader.end();
      if (!isReport) return undefined;
      const of = (name: string): string => head.get(`feedback/${name}`) ?? "";
      const id = of("report_metadata/report_id");
      const domain = plainDomain(of("policy_published/domain"));
      if (id === "" || domain === "") throw new Unreadable("it does not say of what it is");
      const from = 1000 * countIn(of("report_metadata/date_range/begin"), "the begin of its time");
      const to = 1000 * countIn(of("report_metadata/date_range/end"), "the end of its time");
      checkRange(from, to, now);
      return {
        kind: "dmarc",
        organization: organizationOf(of("report_metadata/org_name"), of("report_metadata/email")),
        id: id.slice(0, longestText),
        from,
        to,
        domain,
        policy: plainWords(of("policy_published/p"), 20),
        rows,
      };
    },
  };
}

/** Its name; else the domain of the address that it gives. */
function organizationOf(name: string, email: string): string {
  return plainWords(name) || plainDomain(email.slice(email.lastIndexOf("@") + 1)) || "(no name)";
}

const headPlaces: ReadonlySet<string> = new Set(
  [
    "report_metadata/org_name",
    "report_metadata/email",
    "report_metadata/report_id",
    "report_metadata/date_range/begin",
    "report_metadata/date_range/end",
    "policy_published/domain",
    "policy_published/p",
  ].map((name) => `feedback/${name}`),
);

const row = "feedback/record/row/";
const auth = "feedback/record/auth_results/";

/** What each element of a record is to us. */
const fields: Readonly<Record<string, (draft: ReportDraft, value: string) => void>> = {
  [`${row}source_ip`]: (draft, value) => {
    draft.source = isIP(value) === 0 ? "" : value.toLowerCase().replace(/%.*/, "");
  },
  [`${row}count`]: (draft, value) => {
    draft.count = countIn(value, "a count");
  },
  [`${row}policy_evaluated/disposition`]: (draft, value) => {
    // RFC 9990 has "pass" for mail that passed; some generators write it in capitals.
    draft.disposition = dispositions.find((one) => one === value.toLowerCase()) ?? "none";
  },
  [`${row}policy_evaluated/dkim`]: (draft, value) => {
    draft.dkim = hasPassed(value);
  },
  [`${row}policy_evaluated/spf`]: (draft, value) => {
    draft.spf = hasPassed(value);
  },
  [`${row}policy_evaluated/reason/type`]: (draft, value) => {
    draft.reason ||= plainWords(value, 40);
  },
  [`${auth}dkim/domain`]: (draft, value) => {
    draft.domain = plainDomain(value);
  },
  [`${auth}dkim/result`]: (draft, value) => {
    if (hasPassed(value)) draft.signer ||= draft.domain;
  },
  [`${auth}spf/domain`]: (draft, value) => {
    draft.domain = plainDomain(value);
  },
  [`${auth}spf/result`]: (draft, value) => {
    if (hasPassed(value)) draft.sender ||= draft.domain;
  },
};

const hasPassed = (value: string): boolean => value.toLowerCase() === "pass";
