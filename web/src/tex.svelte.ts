// Formulas: TeX in, MathML out. Temml makes it, and is fetched (from this server) when the first formula comes.
//
// It builds elements, not HTML, and is not trusted with links, images, classes or ids (`trust` is off). A formula that
// it cannot read, that defines macros of its own, that names places of the page or that needs more styles than Tex.svelte
// has, is not drawn and stays as it was written.

type Temml = typeof import('temml').default;

let temml: Temml | null = null;
export const formulas = $state({ canBeDrawn: false });

export async function loadTemml(): Promise<void> {
  try {
    temml ??= (await import('temml')).default;
    formulas.canBeDrawn = true;
  } catch {
    // the server is away: formulas stay as they were written
  }
}

const kNotDrawn =
  /\\(?:[egx]?def|let|futurelet|(?:re)?newcommand|providecommand|label|(?:eq)?ref|cancelto|longdiv|phase|enclose|textcircled|angln?|bordermatrix)(?![a-zA-Z])/;

/** Puts the formula into `place`, or leaves it empty and says false. */
export function drawFormula(formula: string, display: boolean, place: HTMLElement): boolean {
  place.replaceChildren();
  if (!temml || kNotDrawn.test(formula)) return false;
  try {
    temml.render(formula, place, { displayMode: display, throwOnError: true, trust: false, maxSize: [10, 100], maxExpand: 300 });
    return true;
  } catch {
    place.replaceChildren(); // not TeX, or not whole
    return false;
  }
}
