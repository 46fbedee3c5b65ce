/**
 * The nearest of some known names to a mistyped one, for "did you mean".
 *
 * Distance is Damerau-Levenshtein (a swap of two neighbours counts as one edit). A name further away than about a third of its
 * length is no suggestion: a wrong hint costs more than none.
 */

/** null when nothing is near enough. Case does not count. */
export function nearestName(name: string, known: Iterable<string>): string | null {
  const wanted = name.toLowerCase();
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(wanted, candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** The end of a sentence that says that a name is not known: `; did you mean worker?`, else `; ` and what is said instead, or nothing. */
export function didYouMean(name: string, known: Iterable<string>, otherwise = ''): string {
  const nearest = nearestName(name, known);
  if (nearest !== null) return `; did you mean ${nearest}?`;
  return otherwise === '' ? '' : `; ${otherwise}`;
}

/** How many insertions, deletions, replacements or swaps of neighbours lead from `a` to `b`. */
export function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, (beforePrevious[j - 2] ?? 0) + 1);
      current.push(least);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}
