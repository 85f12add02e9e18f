import { ALIASES_ANNOTATION, type ObjectKey, objectKey } from "../../model/objects.ts";
import type { StandingObject } from "../../model/standing.ts";

/** Which aliases entries of ours name. */
export interface AliasPlaces {
  /** An entry as it stands now. */
  put(entry: Pick<StandingObject, "key" | "manifest">): void;
  /** It is gone, or not ours any more. */
  drop(entry: ObjectKey): void;
  has(alias: ObjectKey): boolean;
}

/** No entry stands. */
export function aliasPlaces(): AliasPlaces {
  const named = new Map<ObjectKey, readonly ObjectKey[]>();
  /** How many entries name an alias. */
  const counts = new Map<ObjectKey, number>();

  function count(aliases: readonly ObjectKey[], by: 1 | -1): void {
    for (const alias of aliases) {
      const now = (counts.get(alias) ?? 0) + by;
      if (now === 0) counts.delete(alias);
      else counts.set(alias, now);
    }
  }

  function drop(entry: ObjectKey): void {
    count(named.get(entry) ?? [], -1);
    named.delete(entry);
  }

  return {
    put({ key, manifest }) {
      drop(key);
      const aliases = aliasesOn(manifest.metadata.annotations?.[ALIASES_ANNOTATION]);
      if (aliases.length === 0) return;
      count(aliases, 1);
      named.set(key, aliases);
    },
    drop,
    has: (alias) => counts.has(alias),
  };
}

function aliasesOn(annotation: string | undefined): readonly ObjectKey[] {
  return (annotation ?? "").split(",").flatMap((place) => {
    const [namespace = "", name = "", ...more] = place.split("/");
    return namespace === "" || name === "" || more.length > 0 ? [] : [objectKey("Service", namespace, name)];
  });
}
