import type { AccessVerdict } from "../model/report.ts";
import { type Reply, text } from "./reply.ts";
import { bearerToken, type ReviewOptions, reviewed } from "./reviews.ts";

/** What a client from elsewhere asks for. */
export interface AccessRequest {
  readonly path: string;
  /** Whose share of questions to the cluster it costs. */
  readonly client: string;
  /** The header. */
  readonly authorization: string | undefined;
}

/** Judges who may read a path: undefined where the client may, else what it is told instead. */
export type Access = (request: AccessRequest) => Promise<Reply | undefined>;

/**
 * Lets those read whose token says that they may get the path.
 *
 * @param review asks the cluster whether whoever has the token may get a non-resource URL; rejects when it cannot be asked
 */
export function access(review: (token: string, url: string) => Promise<AccessVerdict>, options: ReviewOptions): Access {
  const judge = reviewed(review, options);
  return async ({ path, client, authorization }) => {
    const token = bearerToken(authorization);
    const url = nonResourceUrl(path);
    const verdict = token === undefined ? ({ state: "refused" } as const) : await judge(token, client, url);
    if (verdict.state === "accepted") return undefined;
    if (verdict.state === "denied")
      return text(403, `${verdict.name} may not get ${url}: a ClusterRole with this in nonResourceURLs is needed.`);
    if (verdict.state === "refused")
      return { ...text(401, "A bearer token is needed that the cluster knows."), authenticate: "Bearer" };
    return { ...text(503, "The token cannot be verified now."), retryAfterSeconds: 1 };
  };
}

/**
 * The URL by which RBAC knows a path. The API server lets everyone who is authenticated get `/api/*` (the ClusterRole
 * system:discovery), so ours stand below `/x2istio`. `/metrics` is what those may get who scrape metrics.
 */
function nonResourceUrl(path: string): string {
  return path === "/metrics" ? path : `/x2istio${path}`;
}
