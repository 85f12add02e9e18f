/** What is checked, in the order in which it is shown. */
export const CHECKS = [
  "definitions",
  "istiod",
  "namespaces",
  "rights",
  "vips",
  "capture",
  "pods",
  "ambient",
  "scope",
  "exports",
  "tls",
  "names",
  "dns",
] as const;
export type CheckName = (typeof CHECKS)[number];

/** One sentence without a full stop on one thing that was checked. */
export interface Finding {
  readonly check: CheckName;
  /** `warning`: it works, and somebody should know; `unchecked`: it may be fine or not, and `message` says why nobody knows. */
  readonly state: "fine" | "warning" | "problem" | "unchecked";
  readonly message: string;
  /** Shell command that fixes it, or what to write in which file; on every problem and warning. */
  readonly fix?: string;
  /** What `fix` changes in a file or ConfigMap of others, to be reviewed before: a unified diff. */
  readonly diff?: string;
}
