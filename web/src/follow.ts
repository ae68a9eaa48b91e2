// Whether the page follows an answer that grows, or stays where its reader has scrolled to.

export interface ScrollPosition {
  top: number; // px
  height: number; // of all that can be scrolled through
  shown: number;
}

export function positionOf(scroller: HTMLElement): ScrollPosition {
  return { top: scroller.scrollTop, height: scroller.scrollHeight, shown: scroller.clientHeight };
}

/** Any step up leaves the end, however small; growing and shrinking text does not. Reaching the end follows again. */
export function followsAfterScroll(follows: boolean, before: ScrollPosition, now: ScrollPosition): boolean {
  const left = now.height - now.top - now.shown;
  const steppedUp = now.top < before.top && now.height >= before.height;
  return steppedUp ? left <= 1 : follows || left <= 2; // browsers round heights, not tops: the end may be 1 px away
}
