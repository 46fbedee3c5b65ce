/** The table the benchmark prints, and how its figures are written. */

export interface Row {
  readonly what: string;
  readonly measured: string;
  readonly reference: string;
  readonly target: string;
  /** Null: a row for information. */
  readonly met: boolean | null;
}

export const count = (value: number): string => Math.round(value).toLocaleString('en-US');
export const rate = (value: number): string => `${count(value)}/s`;
export const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)} ms`;
export const megabytes = (value: number): string => `${value.toFixed(1)} MB`;

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function printTable(title: string, rows: readonly Row[]): void {
  const cells = [
    ['', 'measured', 'reference', 'target', ''],
    ...rows.map((row) => [row.what, row.measured, row.reference, row.target, row.met === null ? '' : row.met ? 'met' : 'MISSED']),
  ];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  console.log(title);
  for (const row of cells) {
    const line = row.map((cell, column) => (column === 1 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)));
    console.log(line.join('  ').trimEnd());
  }
}
