import { rcodeName, typeName } from "../wire/codes.ts";
import type { AnswerEvent, DnsHooks } from "./hooks.ts";

/** Counts ready-made answers without the cost of a report for each. */
export interface Tally {
  add(type: number, rcode: number): void;
  /** Report what was counted since the last report. */
  flush(): void;
}

/**
 * A tally of answers by UDP from one source. They are reported `reportMs` after the first, or if that is 0 at the end of that iteration of the
 * event loop, which under load is one more for a few answers.
 */
export function tally(hooks: Pick<DnsHooks, "onAnswer">, source: AnswerEvent["source"], reportMs: number): Tally {
  /** By type * 16 + code; types of ready-made answers are below 128. */
  const counts = new Uint32Array(128 * 16);
  const touched: number[] = [];

  function later(): void {
    if (reportMs === 0) setImmediate(flush);
    else setTimeout(flush, reportMs).unref();
  }

  function flush(): void {
    for (const at of touched.splice(0)) {
      const count = counts[at] as number;
      counts[at] = 0;
      const event: AnswerEvent = {
        transport: "udp",
        rcode: rcodeName(at & 0xf),
        type: typeName(at >> 4),
        source,
        view: "mesh",
      };
      hooks.onAnswer?.(event, count);
    }
  }

  return {
    add(type, rcode) {
      const at = (type << 4) | rcode;
      if (counts[at] === 0) {
        if (touched.length === 0) later();
        touched.push(at);
      }
      counts[at] = (counts[at] as number) + 1;
    },
    flush,
  };
}
