import type { DecideFor } from "../../src/migrate/preview.ts";
import type { StepTools } from "../../src/migrate/step.ts";
import type { Claim } from "../../src/model/claim.ts";
import type { Target } from "../../src/model/target.ts";
import { decide } from "../../src/plan/decide.ts";
import { readings, type Said, service } from "../plan/build.ts";
import { config } from "../plan/memory.ts";
import { type Moving, moving, RULES } from "../plan/moving.ts";

/** One service that an operator moves, and what a step is taken with. */
export interface Stepping {
  readonly move: Moving;
  readonly decide: DecideFor;
  /** What was set on the claimant, as `shop/orders-v2 split 10 <request>`. */
  readonly declared: string[];
  readonly said: string[];
  /** What becomes of a declaration; what it asks for is written at once by default. */
  onDeclare: (fields: Partial<Claim>) => Promise<{ readonly outcome: string; readonly error?: unknown }>;
  tools(fields?: Partial<StepTools>): StepTools;
}

/** @param said of registry dc1; the claim of `shop/orders-v2` is made by hand */
export function stepping(said: Said = [service()], rules: object = RULES): Stepping {
  const move = moving([service()]);
  move.said = said;
  move.rules = rules;
  const settings = config([{ name: "dc1", legacyNames: ["{service}.old.example.org"] }], {
    migration: rules,
    target: { kind: "kubernetes" },
    aliases: [{ registry: "dc1", as: "{service}", in: "apps" }],
  });
  const made: Stepping = {
    move,
    decide: (standing) =>
      decide(settings, {
        readings: readings({ dc1: move.said }),
        ...{ standing, nowMs: move.target.clockMs, allowDeletes: new Set() },
      }),
    declared: [],
    said: [],
    async onDeclare(fields) {
      move.claim(fields);
      await move.settle();
      return { outcome: "written" };
    },
    tools: (fields = {}) => ({
      target: move.target as Pick<Target, "standing" | "version" | "waitForChange">,
      decide: made.decide,
      editor: {
        declare: async (key: string, annotations: Readonly<Record<string, string>>) => {
          const {
            "x2istio.dev/stage": stage,
            "x2istio.dev/weight": weight,
            "x2istio.dev/request": request,
          } = annotations;
          made.declared.push([key, stage, weight, request].filter((one) => one !== undefined).join(" "));
          const asked = { stage, request, ...(weight === undefined ? {} : { weight: Number(weight) }) };
          return made.onDeclare(asked as Partial<Claim>);
        },
      } as unknown as StepTools["editor"],
      configFile: "/etc/x2istio.yaml",
      ...{ istiod: undefined, timeoutMs: 30_000, signal: new AbortController().signal },
      onProgress: (text) => void made.said.push(text),
      ...fields,
    }),
  };
  return made;
}
