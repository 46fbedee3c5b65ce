/**
 * Counting words: one task per file, one that merges the counts. `make demo` runs them over the project's own documents.
 *
 * Both may run twice and give the same answer, so both acknowledge late and go back to their queue when the process running them
 * is killed: whatever dies during the demo, the numbers stay right.
 */
import { readFile } from 'node:fs/promises';
import { task } from 'umbel';

export interface FileCount {
  readonly file: string;
  readonly lines: number;
  /** word → how often; words in lower case. */
  readonly words: Readonly<Record<string, number>>;
}

export interface MergedCount {
  readonly files: number;
  readonly lines: number;
  readonly words: number;
  readonly differentWords: number;
  /** The most frequent words, most frequent first; words as frequent as each other by the alphabet. */
  readonly top: readonly (readonly [word: string, count: number])[];
}

const survivesItsChild = { acksLate: true, rejectOnWorkerLost: true } as const;

/** Letters with marks and inner apostrophes, in any script. */
const wordPattern = /\p{L}[\p{L}\p{M}]*(?:['’]\p{L}+)*/gu;

/** `examples.words.countFile`: the words of one text file, given by its absolute path. */
export const countFile = task({ ...survivesItsChild, bind: true }, async (context, file: string): Promise<FileCount> => {
  const text = await readFile(file, { encoding: 'utf8', signal: context.signal });
  const words = new Map<string, number>();
  for (const [word] of text.toLowerCase().matchAll(wordPattern)) words.set(word, (words.get(word) ?? 0) + 1);
  return { file, lines: text.split('\n').length - 1, words: Object.fromEntries(words) };
});

/** `examples.words.mergeCounts`: the sum of many counts, with the `top` most frequent words. */
export const mergeCounts = task(survivesItsChild, (counts: readonly FileCount[], top: number = 10): MergedCount => {
  const total = new Map<string, number>();
  let lines = 0;
  for (const count of counts) {
    lines += count.lines;
    for (const [word, times] of Object.entries(count.words)) total.set(word, (total.get(word) ?? 0) + times);
  }
  const ranked = [...total].sort(([one, few], [other, many]) => many - few || (one < other ? -1 : 1));
  const words = ranked.reduce((sum, [, times]) => sum + times, 0);
  return { files: counts.length, lines, words, differentWords: total.size, top: ranked.slice(0, top) };
});
