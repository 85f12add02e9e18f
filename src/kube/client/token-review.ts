import { fieldsOf, listOf } from "../../istio/fields.ts";
import type { TokenVerdict } from "../../model/report.ts";
import type { KubeClient } from "./client.ts";

const PATH = "/apis/authentication.k8s.io/v1/tokenreviews";

/** Whose a token is, as the cluster says. */
export interface TokenUser {
  readonly username: string;
  readonly uid?: unknown;
  readonly groups?: unknown;
  readonly extra?: unknown;
}

/**
 * Ask the cluster whose a token is. It counts only if it was made for one of `audiences`. A service account is called
 * `<namespace>/<name>`.
 *
 * @throws When the cluster cannot be asked.
 */
export async function reviewToken(
  client: KubeClient,
  token: string,
  audiences: readonly string[],
): Promise<TokenVerdict> {
  const user = await reviewUser(client, token, audiences);
  return user === undefined ? { state: "refused" } : { state: "accepted", name: callerName(user.username) };
}

/**
 * The user that a token is of, if the cluster knows it.
 *
 * @param audiences of which it must have one; without any, the API server's own
 * @throws When the cluster cannot be asked.
 */
export async function reviewUser(
  client: KubeClient,
  token: string,
  audiences: readonly string[],
): Promise<TokenUser | undefined> {
  const { apiVersion, kind } = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview" };
  const answer = await client.request({
    method: "POST",
    path: PATH,
    action: "review a token",
    body: { apiVersion, kind, spec: { token, ...(audiences.length === 0 ? {} : { audiences }) } },
  });
  const { authenticated, user, audiences: accepted } = fieldsOf(fieldsOf(answer).status);
  const { username, uid, groups, extra } = fieldsOf(user);
  // An API server that knows nothing of audiences gives none back (k8s.io/api authentication/v1 TokenReviewSpec).
  const isMeant = audiences.length === 0 || listOf(accepted).some((audience) => audiences.includes(String(audience)));
  return authenticated === true && isMeant && typeof username === "string"
    ? { username, uid, groups, extra }
    : undefined;
}

/** A service account by its namespace and name, anyone else by the user's name. */
export function callerName(username: string): string {
  const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(username) ?? [];
  return namespace === undefined ? username : `${namespace}/${name}`;
}
