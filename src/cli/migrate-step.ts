import { planStep, takeStep } from "../migrate/step.ts";
import type { StageRequest } from "../model/claim.ts";
import type { Standing } from "../model/standing.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { previewLines, stepJson, stepLines } from "./print/migrate-step.ts";
import { once } from "./setup/once.ts";

export interface StepOptions {
  /** A service, host, legacy name, alias or VIP, or the claimant. */
  readonly name: string;
  readonly want: StageRequest;
  readonly dryRun: boolean;
  readonly output: Format;
  /** How long to wait until the step is effective. */
  readonly timeout: number;
  /** Address of istiod's debug interface. */
  readonly istiod?: string;
}

/**
 * Take a step of one service's move: show what becomes of its objects, ask for the step on the Service that replaces it, and wait
 * until calls are led so. 0: it is so, or would be; 1: it was refused, nothing changed, or it was not effective in time.
 */
export async function stepCommand(context: CliContext, options: StepOptions): Promise<ExitCode> {
  const { name, want, dryRun, output } = options;
  const { line, progress } = context.out;
  return once(
    context,
    async (opened) => {
      const { config, target } = opened;
      const { editor } = opened.opened;
      const decide = (standing: Standing) => opened.decide({ standing });
      const step = { name, want, request: new Date().toISOString(), clusterDomain: config.target.clusterDomain };
      const plan = planStep(target.standing(), decide, step);
      if (output === "text" && plan.refused.length === 0) for (const text of previewLines(plan, want)) line(text);
      const result = dryRun
        ? { ...plan, written: false }
        : await takeStep(plan, step, {
            ...{ target, decide, editor, configFile: config.file, istiod: options.istiod },
            ...{ timeoutMs: options.timeout, signal: context.signal, onProgress: progress },
          });
      progress("");
      if (output === "json") line(JSON.stringify(stepJson(result, options), null, 2));
      else for (const text of stepLines(result, options)) line(text);
      const isDone = result.progress?.state === "effective" && result.istiod?.state !== "behind";
      return result.refused.length === 0 && (dryRun || isDone) ? 0 : 1;
    },
    { watch: true },
  );
}
