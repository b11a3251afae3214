"""A question as text for people to read."""

from bibleqa.data.item import Item


def as_text(item: Item) -> str:
    """Context, earlier turns, question, answer and variants, each on lines of its own.

    >>> print(as_text(Item("1", "[Genesis 5:6] And Seth begat Enos:", "Who begat Enos?", "Seth")))
    [Genesis 5:6] And Seth begat Enos:
    question: Who begat Enos?
    answer:   Seth
    """
    lines = [item.context] if item.context else []
    lines += [f"earlier:  {turn.question} {turn.answer}" for turn in item.history]
    lines += [f"question: {item.question}", f"answer:   {item.answer}"]
    if item.variants:
        lines.append(f"or:       {'; '.join(item.variants)}")
    return "\n".join(lines)
