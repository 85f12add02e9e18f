import type { ReportsConfig } from "../../config/config.ts";
import { reviewed } from "../../http/reviews.ts";
import { anyOf, fileTokens } from "../../http/tokens.ts";
import type { Log } from "../../log.ts";
import type { TokenJudge } from "../../model/report.ts";
import type { OpenTarget } from "../setup/open-target.ts";
import { onceAMinute } from "./once-a-minute.ts";

/**
 * Judges tokens of those who report, as configured: by a file, by the cluster, or by both.
 *
 * @param opened the target of now; undefined before it has been opened
 */
export function tokenJudge(
  { tokenFile, tokenReview }: ReportsConfig,
  opened: () => OpenTarget | undefined,
  log: Log,
): TokenJudge {
  const onError = onceAMinute((error) => log.warn({ error }, "the tokens of reports cannot be verified"));
  const judges: TokenJudge[] = tokenFile === undefined ? [] : [fileTokens(tokenFile, { onError })];
  if (tokenReview !== undefined) {
    const review = async (token: string) => {
      const ask = opened()?.reviewToken;
      if (ask === undefined) throw new Error("Cannot review a token as the cluster has not been opened yet");
      return ask(token, tokenReview.audiences);
    };
    judges.push(reviewed(review, { onError }));
  }
  return anyOf(judges);
}
