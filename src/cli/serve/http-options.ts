import type { HttpConfig } from "../../config/config.ts";
import { type Access, access } from "../../http/access.ts";
import { httpMetrics } from "../../http/metrics.ts";
import type { HttpServerOptions } from "../../http/server.ts";
import { openTls, type ServerTls } from "../../http/tls.ts";
import type { Log } from "../../log.ts";
import type { CliContext } from "../context.ts";
import type { OpenTarget } from "../setup/open-target.ts";
import { onceAMinute } from "./once-a-minute.ts";

/** What can be asked of a target that has been opened. */
export type Opened = () => Pick<OpenTarget, "reviewAccess"> | undefined;

/**
 * How HTTP is served by a configuration, except for what is told: all that can fail before a port is bound.
 *
 * @throws When the certificate cannot be used.
 */
export async function httpOptions(
  { listen, tls, authorization }: HttpConfig,
  opened: Opened,
  context: Pick<CliContext, "log" | "metrics">,
): Promise<Omit<HttpServerOptions, "source">> {
  const { log } = context;
  return {
    listen,
    access: authorization === undefined ? undefined : clusterAccess(authorization.audiences, opened, log),
    tls: tls === undefined ? undefined : await tlsOf(tls, context),
    onError: (error) => log.error({ error }, "an HTTP request could not be answered"),
  };
}

function tlsOf(
  files: NonNullable<HttpConfig["tls"]>,
  { log, metrics }: Pick<CliContext, "log" | "metrics">,
): Promise<ServerTls> {
  const { certificateExpiry } = metrics.once(httpMetrics);
  return openTls(files, {
    onUse(expiresMs) {
      certificateExpiry.set(expiresMs / 1000);
      const what = { file: files.certFile, expires: new Date(expiresMs).toISOString() };
      if (expiresMs < Date.now()) log.warn(what, "the certificate of HTTPS has expired");
      else log.info(what, "the certificate of HTTPS is in use");
    },
    onError: (error) => log.error({ error }, "the certificate of HTTPS cannot be replaced; the last one stays in use"),
  });
}

/** Lets those read whom the cluster lets get the URL. */
function clusterAccess(audiences: readonly string[], opened: Opened, log: Log): Access {
  const review = async (token: string, url: string) => {
    const ask = opened()?.reviewAccess;
    if (ask === undefined) throw new Error("Cannot review access as the cluster has not been opened yet");
    return ask(token, audiences, url);
  };
  return access(review, {
    onError: onceAMinute((error) => log.warn({ error }, "the access of HTTP clients cannot be verified")),
  });
}
