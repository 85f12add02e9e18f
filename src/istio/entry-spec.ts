import type { Fields } from "./fields.ts";

/**
 * A ServiceEntry's spec in which every list that the stages walk is a list of what they expect; what is not is left out, so that
 * one object that someone spoiled by hand is put right by the next pass instead of ending it. A sound spec comes back as it is.
 */
export function soundEntrySpec(spec: Fields): Fields {
  const sound: Record<string, unknown> = { ...spec };
  let isSound = true;
  for (const [field, isItem] of Object.entries(LISTS)) {
    const value = spec[field];
    const isRequired = field === "hosts" || field === "ports";
    if (value === undefined && !isRequired) continue;
    if (Array.isArray(value) && value.every(isItem)) continue;
    isSound = false;
    if (Array.isArray(value) || isRequired) sound[field] = Array.isArray(value) ? value.filter(isItem) : [];
    else delete sound[field];
  }
  return isSound ? spec : sound;
}

const LISTS: Readonly<Record<string, (item: unknown) => boolean>> = {
  hosts: isText,
  addresses: isText,
  ports: (item) => isFields(item) && isText(item.name) && typeof item.number === "number" && isText(item.protocol),
  endpoints: (item) => isFields(item) && isText(item.address) && (item.ports === undefined || isFields(item.ports)),
  exportTo: isText,
};

function isText(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
