import type { Config } from "../../config/config.ts";
import type { Controller } from "../../controller/controller.ts";
import { createDemand, type Demand } from "../../controller/demand.ts";
import { reportHandler } from "../../controller/report-handler.ts";
import type { Wanted } from "../../dns/observe/hooks.ts";
import { reportMetrics } from "../../http/metrics.ts";
import { type AnswerReports, reportsHandler } from "../../http/reports.ts";
import type { Asker } from "../../model/demand.ts";
import type { NameTable } from "../../model/name-table.ts";
import { parseServiceKey } from "../../model/service.ts";
import type { NameQuestions } from "../../model/usage.ts";
import { demandTtls, knows } from "../../plan/known.ts";
import type { CliContext } from "../context.ts";
import type { OpenTarget } from "../setup/open-target.ts";
import { tokenJudge } from "./token-judge.ts";

/** What demand is heard for: what runs now. */
export interface Running {
  readonly config: Config;
  readonly opened: OpenTarget;
  readonly controller: Controller | undefined;
}

/** Hears who asks for which services, by whatever way. */
export interface DemandSource {
  readonly demand: Demand;
  /** Names that were asked for by DNS. */
  onQuestions(questions: readonly NameQuestions[]): void;
  /** A service that was asked for by DNS and does not stand. */
  onWanted(wanted: Wanted): void;
  /** Takes reports, where the configuration says from whom. */
  reports(http: Config["http"]): AnswerReports | undefined;
}

/** How demand is heard. */
export interface DemandSourceOptions {
  readonly running: () => Running | undefined;
  readonly table: () => NameTable | undefined;
  readonly context: Pick<CliContext, "metrics" | "log">;
}

/** A memory of nothing yet, for as long as the process runs. */
export function demandSource({ running, table, context: { metrics, log } }: DemandSourceOptions): DemandSource {
  const demand = createDemand();
  const latest = () => running()?.controller?.latest();
  const handler = reportHandler({
    ...{ table, latest, demand },
    nowMs: () => running()?.opened.target.nowMs() ?? Date.now(),
    merge: () => running()?.config.merge ?? [],
    look: async (registry, signal) => running()?.controller?.look(registry, signal),
    waitMs: () => running()?.config.http.reports?.waitMs ?? 0,
  });

  function ask(service: string, asker: Omit<Asker, "lastMs">, isReported: (registry: string) => boolean): void {
    const [decision, now] = [latest(), running()];
    if (decision === undefined || now === undefined || !isReported(parseServiceKey(service)?.registry ?? "")) return;
    if (knows(decision, service)) demand.ask(service, asker, now.opened.target.nowMs());
  }

  /** Whether a registry runs on demand: for others DNS questions change nothing. */
  function reported(): (registry: string) => boolean {
    const ttls = demandTtls(running()?.config.registries ?? []);
    return (registry) => ttls.has(registry);
  }

  return {
    demand,
    onQuestions(questions) {
      const isReported = reported();
      for (const { name, view, client } of questions) {
        const service = table()?.names.get(name)?.service;
        if (service !== undefined) ask(service, { caller: client, via: "dns", view }, isReported);
      }
    },
    onWanted: ({ service, view, client }) => ask(service, { caller: client, via: "dns", view }, reported()),
    reports({ reports }) {
      if (reports === undefined) return undefined;
      const { onResult } = metrics.once(reportMetrics);
      return reportsHandler({
        handler,
        judge: tokenJudge(reports, () => running()?.opened, log),
        perSecond: reports.perSecond,
        onResult,
      });
    },
  };
}
