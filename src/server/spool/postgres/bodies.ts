/** The octets of messages, as rows. */

/** Octets of a row. Our choice: a delivery has one of them in memory. */
export const pieceSize = 256 * 1024;

/** A row of a body. */
export interface BodyRow {
  readonly id: string;
  readonly piece: number;
  readonly octets: Buffer;
}

/** A statement with its values: the octets go as they are. */
export function bodyInsert(rows: readonly BodyRow[]): readonly [string, readonly unknown[]] {
  const places = rows.map((_, at) => `($${3 * at + 1}, $${3 * at + 2}, $${3 * at + 3})`);
  return [
    `INSERT INTO bodies (id, piece, octets) VALUES ${places.join(", ")}`,
    rows.flatMap(({ id, piece, octets }) => [id, piece, octets]),
  ];
}

/** The same of pieces that may be there already: by their numbers they have the same octets. */
export function pieceInsert(rows: readonly BodyRow[]): readonly [string, readonly unknown[]] {
  const [text, values] = bodyInsert(rows);
  return [`${text} ON CONFLICT DO NOTHING`, values];
}

/** Removes drafts, but none that was accepted: those have no such row any more. */
export const draftRemoval = (ids: readonly string[]): readonly [string, readonly unknown[]] => [
  `WITH gone AS (DELETE FROM drafts WHERE id = ANY($1::text[]) RETURNING id)
   DELETE FROM bodies WHERE id = ANY($1::text[]) AND id IN (SELECT id FROM gone)`,
  [ids],
];
