import { describeError } from "../errors.ts";
import type { CheckName, Finding } from "./finding.ts";

/** What `judge` finds; when something in the cluster cannot be understood, that. */
export function attempt(check: CheckName, judge: () => readonly Finding[]): readonly Finding[] {
  try {
    return judge();
  } catch (error) {
    return [{ check, state: "unchecked", message: `could not be checked: ${describeError(error)}` }];
  }
}
