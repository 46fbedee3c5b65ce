/** `name[id]`: a task in a line for people. */
import { escapeControls } from './escape-controls.ts';

/** Both are their sender's. */
export function taskLabel(name: string, id: string): string {
  return escapeControls(`${name}[${id}]`);
}
