/** The bodies that are being sent. */
export interface Sending {
  /**
   * A body goes out; call what is returned once it has gone.
   *
   * @param end called when it takes too much of others' memory: ends its connection
   */
  start(body: Buffer, end: () => void): () => void;
}

/**
 * Clients that take their answer slowly keep it in memory. Where different bodies have more than `mostBytes` together, those that
 * were begun first end; one body is sent whatever its size.
 */
export function sending(mostBytes: number): Sending {
  /** Those that send it, in the order in which bodies were begun. */
  const bodies = new Map<Buffer, Set<() => void>>();
  let bytes = 0;

  function forget(body: Buffer): void {
    if (bodies.delete(body)) bytes -= body.length;
  }

  return {
    start(body, end) {
      const senders = bodies.get(body) ?? new Set();
      if (senders.size === 0) {
        bodies.set(body, senders);
        bytes += body.length;
      }
      senders.add(end);
      for (const [other, slow] of bodies) {
        if (bytes <= mostBytes || other === body) break;
        forget(other);
        for (const endOther of slow) endOther();
      }
      return () => {
        senders.delete(end);
        if (senders.size === 0 && bodies.get(body) === senders) forget(body);
      };
    },
  };
}
