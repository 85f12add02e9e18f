import { fieldsOf } from "../../istio/fields.ts";
import type { AccessVerdict } from "../../model/report.ts";
import type { KubeClient } from "./client.ts";
import { callerName, reviewUser } from "./token-review.ts";

const PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/**
 * Ask the cluster whose a token is, and whether that user may get a non-resource URL.
 *
 * @param audiences without any, tokens for the API server count
 * @throws When the cluster cannot be asked.
 */
export async function reviewAccess(
  client: KubeClient,
  token: string,
  audiences: readonly string[],
  url: string,
): Promise<AccessVerdict> {
  const user = await reviewUser(client, token, audiences);
  if (user === undefined) return { state: "refused" };
  const { username, uid, groups, extra } = user;
  const answer = await client.request({
    method: "POST",
    path: PATH,
    action: "review the access of a user",
    body: {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: { user: username, uid, groups, extra, nonResourceAttributes: { path: url, verb: "get" } },
    },
  });
  const { allowed, denied } = fieldsOf(fieldsOf(answer).status);
  return { state: allowed === true && denied !== true ? "accepted" : "denied", name: callerName(username) };
}
