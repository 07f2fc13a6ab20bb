"""python -m adapterlab run | list | doctor | report | refresh"""

import argparse
import shutil
import sys

from .errors import UserError


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence instead of printing the usage."""

    def error(self, message):
        raise UserError(f"{message} (see python -m {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = Parser(prog="adapterlab", description="A workbook on adapter tuning.", allow_abbrev=False)
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    run = commands.add_parser("run", help="execute the notebooks headless and make pages of them")
    run.add_argument("names", nargs="*", metavar="NAME", help='which: "02", "02_fine_tune" or "fine_tune"; none: all')
    run.add_argument("--profile", metavar="P", help="smoke (does it work), class (default), full (real size, GPU)")
    run.add_argument("--jobs", type=int, default=1, metavar="N", help="notebooks at a time (default 1)")
    run.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="set a parameter")
    run.add_argument("--out", default="runs", metavar="DIR", help="where results go, in a folder of the time (runs/)")
    run.add_argument("--timeout", type=int, metavar="S", help="longest time one cell may take, in seconds")
    run.add_argument("--record", action="store_true", help="keep times and memory in data/results/notebook_times.csv")
    table = commands.add_parser("list", help="the notebooks, what they answer and how long they take")
    table.add_argument("--markdown", action="store_true", help="as the table of the README")
    table.add_argument("--links", action="store_true", help="the README's launch links, for pyproject.toml's address")
    commands.add_parser("doctor", help="what this machine has and what to do about what is missing")
    report = commands.add_parser("report", help="a folder of students' notebooks as a table: exercises and predictions")
    report.add_argument("folder", metavar="FOLDER")
    report.add_argument("--out", default="report", metavar="DIR", help="where report.csv and report.html go (report/)")
    report.add_argument("--execute", type=int, metavar="S", help="run copies first, a cell at most S seconds")
    refresh = commands.add_parser("refresh", help="authors: execute, scrub and store notebooks")
    refresh.add_argument("names", nargs="*", metavar="NAME")
    refresh.add_argument("--profile", metavar="P", help="class unless given")
    refresh.add_argument("--check", action="store_true", help="say which notebooks are not fit to commit")
    refresh.add_argument("--anyway", action="store_true", help="beside other work too; no time is recorded then")
    refresh.add_argument("--no-run", action="store_true", help="scrub and set the measured minutes, execute nothing")
    return top


def main(words=None) -> int:
    """Exit code: 0 done, 1 a notebook failed (or the machine lacks something), 2 bad input, 130 Ctrl-C."""
    try:
        words, pairs = pull_pairs(list(sys.argv[1:] if words is None else words))
        given = parser().parse_args(words)
        given.p = pairs
        return _main(given)
    except UserError as error:
        print(f"adapterlab: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(
            f'adapterlab: the package "{error.name}" is missing; run: pip install -r requirements.txt', file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        print("interrupted before anything ran", file=sys.stderr)
        return 130


def pull_pairs(words: list[str]) -> tuple[list[str], list[list[str]]]:
    """The words without their `-p NAME VALUE`, and these: argparse would take a value like -x for an option."""
    pairs = []
    while "-p" in words[:-2] and not words[(at := words.index("-p")) + 2].startswith("--"):
        pairs.append(words[at + 1 : at + 3])
        words = words[:at] + words[at + 3 :]
    return words, pairs


def _main(given) -> int:
    if given.command == "run":
        from .book.run import run

        return run(given.names, given.profile, given.jobs, given.p, given.out, given.timeout, given.record)
    if given.command == "list":
        return show_list(given.markdown, given.links)
    if given.command == "doctor":
        from .book.doctor import doctor

        return doctor()
    if given.command == "report":
        from .book.report import report

        return report(given.folder, given.out, given.execute)
    if given.command == "refresh":
        from .book.notebooks import choose, notebooks
        from .book.refresh import check, refresh
        from .profiles import pick_profile

        chosen = choose(given.names, notebooks())
        if given.check:
            return check(chosen)
        return refresh(chosen, pick_profile(given.profile or "class"), not given.no_run, given.anyway)
    parser().print_help()
    return 2


def show_list(markdown: bool = False, links: bool = False) -> int:
    """Print every notebook: number, title, question, measured minutes; or the launch links."""
    from .book import times
    from .book.links import badges
    from .book.notebooks import choose, notebooks

    if links:
        print(badges())
        return 0
    rows, width = times.read(), shutil.get_terminal_size((110, 0)).columns
    if markdown:
        print("| notebook | question | minutes |\n|---|---|---|")
    for notebook in choose([], notebooks()):
        minutes = times.minutes(notebook.name, rows) or "not measured yet"
        if markdown:
            link = f"[{notebook.number} · {notebook.title}](notebooks/{notebook.path.name})"
            print(f"| {link} | {notebook.question} | {minutes} |")
        else:
            print(f"{notebook.name}: {notebook.title}", f"    {notebook.question}"[:width], f"    {minutes}", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
