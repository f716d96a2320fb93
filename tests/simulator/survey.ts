import type { Played } from './play.ts';
import { type Story, tell } from './story.ts';

/** What was broken, by its kind, each with the shortest of its stories. */
export class Survey {
  readonly #kinds = new Map<string, { count: number; size: number; told: string }>();

  add(story: Story, { violations: [first], log }: Played): void {
    if (!first) return;
    const words = first.told
      .replace(/[0-9]{8}T[^ )]+/g, 'JOB')
      .replace(/\/srv\/images\/|\/dev\/vg0\/|\.img/g, '')
      .replace(/xen0[12]/g, 'xenNN')
      .replace(/first-xenNN/g, 'JOB')
      .replace(/[0-9.]+/g, 'N');
    const kind = `${first.invariant}: ${words.slice(0, 150)}`;
    const size = story.steps.reduce((sum, { interruptions }) => sum + 2 + interruptions.length, 0);
    const known = this.#kinds.get(kind) ?? { count: 0, size: Number.POSITIVE_INFINITY, told: '' };
    known.count += 1;
    this.#kinds.set(kind, known);
    if (size >= known.size) return;
    known.size = size;
    known.told = `${tell(story)}\n    ${first.told}\n      ${log.slice(-8).join('\n      ')}`;
  }

  get told(): string {
    const kinds = [...this.#kinds].sort(([, a], [, b]) => b.count - a.count);
    return kinds.map(([kind, { count, told }]) => `${count} x ${kind}\n${told}`).join('\n\n');
  }
}
