import type { TokenVerdict } from "../model/report.ts";
import type { KubeClient } from "./client.ts";
import { fieldsOf, listOf } from "./raw.ts";

const PATH = "/apis/authentication.k8s.io/v1/tokenreviews";

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
  const { apiVersion, kind } = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview" };
  const answer = await client.request({
    method: "POST",
    path: PATH,
    action: "review a token",
    body: { apiVersion, kind, spec: { token, audiences } },
  });
  const { authenticated, user, audiences: accepted } = fieldsOf(fieldsOf(answer).status);
  const { username } = fieldsOf(user);
  // An API server that knows nothing of audiences gives none back (k8s.io/api authentication/v1 TokenReviewSpec).
  const isMeant = listOf(accepted).some((audience) => audiences.includes(String(audience)));
  if (authenticated !== true || !isMeant || typeof username !== "string") return { state: "refused" };
  const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(username) ?? [];
  return { state: "accepted", name: namespace === undefined ? username : `${namespace}/${name}` };
}
