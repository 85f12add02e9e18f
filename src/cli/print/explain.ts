import type { ObjectKey } from "../../model/objects.ts";
import type { Match } from "../../plan/find.ts";
import { table } from "./text.ts";

/** One endpoint of a service, used or left out. */
export interface EndpointLine {
  readonly place: string;
  readonly used: boolean;
  /** Why it is left out, or its weight, locality and labels. */
  readonly details: string;
}

/** One object of a service, and whether it is as it should be. */
export interface ObjectLine {
  readonly object: ObjectKey;
  readonly state: string;
}

/** The whole chain of one service. */
export interface Explanation extends Match {
  readonly registry: string;
  readonly endpoints: readonly EndpointLine[];
  readonly host: string | undefined;
  readonly vips: readonly string[];
  readonly objects: readonly ObjectLine[];
  readonly answers: readonly string[];
  readonly stage: string;
  readonly notes: readonly string[];
}

/** The chain of one service, for people. */
export function explainLines(
  name: string,
  { key, as, registry, endpoints, host, vips, objects, answers, stage, notes }: Explanation,
): readonly string[] {
  const rows: [string, string[]][] = [
    ["registry", [registry]],
    [
      "endpoints",
      endpoints.length === 0
        ? ["none"]
        : table(endpoints.map(({ place, used, details }) => [place, used ? "in" : "out", details || "healthy"])),
    ],
    [
      "host",
      [
        host === undefined
          ? "none: it is held"
          : `${host}, ${vips.length === 0 ? "no VIP yet" : `VIP ${vips.join(" ")}`}`,
      ],
    ],
    [
      "objects",
      objects.length === 0 ? ["none"] : table(objects.map(({ object, state }) => [object.replace("/", " "), state])),
    ],
    ["answers", answers.length === 0 ? ["none"] : [...answers]],
    ["stage", [stage]],
    ["notes", [...notes]],
  ];
  const lines = rows.flatMap(([label, texts]) =>
    texts.map((text, at) => `  ${(at === 0 ? label : "").padEnd(11)} ${text}`),
  );
  return [as === "a service" ? key : `${name} is ${as} of ${key}`, ...lines];
}
