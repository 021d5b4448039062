/**
 * How a delivery under way tells whose step is next, so that one that only waits for an answer takes no place from those
 * that move (schedule/places.ts).
 */

/**
 * works: the next step is ours. talks: it is the other side's, or octets have just gone there or come from there.
 * waits: all is said, and nothing but the answer to come.
 */
export type Pace = "works" | "talks" | "waits";

export type TellPace = (pace: Pace) => void;

export const tellNobody: TellPace = () => undefined;
