import { z } from "zod";
import type { ReportsConfig } from "./config.ts";
import { durationMs, textField } from "./fields.ts";
import { mapping, unique } from "./shapes.ts";

/** A report waits no longer than what a request may take. */
const MOST_WAIT_MS = 8000;

/** `http.reports`: who may report that it calls a service, and how often. */
export const reportFields = mapping({
  tokenFile: z.string().min(1).exactOptional(),
  tokenReview: mapping({
    audiences: z.array(z.string().min(1)).min(1).superRefine(unique),
  }).exactOptional(),
  wait: textField(durationMs)
    .refine((ms) => ms <= MOST_WAIT_MS, "must be at most 8s")
    .prefault("5s"),
  perSecond: z.number().positive().max(1_000_000).default(1000),
})
  .refine(
    ({ tokenFile, tokenReview }) => tokenFile !== undefined || tokenReview !== undefined,
    "must say who may report: tokenFile, tokenReview or both",
  )
  .transform(({ wait, ...rest }): ReportsConfig => ({ ...rest, waitMs: wait }));
