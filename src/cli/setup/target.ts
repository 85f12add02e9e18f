import type { Config } from "../../config/config.ts";
import type { CliContext } from "../context.ts";
import { openDirectory } from "./directory-target.ts";
import { openKubernetes } from "./kubernetes-target.ts";
import type { OpenTarget } from "./open-target.ts";

/** Open the target that the configuration names. Reads nothing yet. */
export async function openTarget(config: Config, context: CliContext): Promise<OpenTarget> {
  return config.target.kind === "directory"
    ? openDirectory(config, config.target.path, context)
    : openKubernetes(config, config.target, context);
}
