/** Attempts that wait for each other: so many of a kind at a time from one network, first come, first served. */

/** One kind of attempts. */
export interface Lane {
  readonly name: string;
  /** How many there may be at a time; one at least goes on. */
  readonly room: number;
}

export interface Lanes {
  /** Waits for room in all that `lanes` gives, which is asked again when others leave. What it gives is to leave by. */
  enter(network: string, lanes: () => readonly Lane[]): Promise<() => void>;
}

interface Place {
  /** Those under way, by lane. */
  readonly inHand: Map<string, number>;
  readonly waiting: Set<() => boolean>;
}

export function newLanes(): Lanes {
  const places = new Map<string, Place>();

  /** Takes its room and gives how to leave, or undefined where there is none. */
  function taken(network: string, place: Place, lanes: readonly Lane[]): (() => void) | undefined {
    const { inHand, waiting } = place;
    if (lanes.some(({ name, room }) => (inHand.get(name) ?? 0) >= Math.max(1, room))) return undefined;
    for (const { name } of lanes) inHand.set(name, (inHand.get(name) ?? 0) + 1);
    return () => {
      for (const { name } of lanes) {
        const others = (inHand.get(name) ?? 0) - 1;
        if (others > 0) inHand.set(name, others);
        else inHand.delete(name);
      }
      // As many as one network may have connections.
      for (const goOn of waiting) if (goOn()) waiting.delete(goOn);
      if (inHand.size === 0 && waiting.size === 0 && places.get(network) === place) places.delete(network);
    };
  }

  return {
    enter(network, lanes) {
      const place = places.get(network) ?? { inHand: new Map<string, number>(), waiting: new Set() };
      const leave = taken(network, place, lanes());
      if (leave) {
        if (place.inHand.size > 0) places.set(network, place);
        return Promise.resolve(leave);
      }
      return new Promise((resolve) => {
        place.waiting.add(() => {
          const freed = taken(network, place, lanes());
          if (freed) resolve(freed);
          return freed !== undefined;
        });
      });
    },
  };
}
