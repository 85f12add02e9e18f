import { compileRules } from "../../adapters/shapes/rules.ts";

/** An operator who says nothing of how registrations are read. */
export const noRules = compileRules({ ports: [], protocols: [], instances: { exclude: [] } });
