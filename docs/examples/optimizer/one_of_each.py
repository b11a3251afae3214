"""An optimizer: as demos, one train question of each question family, so that the model has seen every kind once."""

import dspy

from bibleqa.optimizers import Task


def compile(student: dspy.Module, task: Task, most: int) -> dspy.Module:
    """The program with the demos. `task` also has valset, metric, lm, teacher and workers."""
    first = {example.type: example for example in reversed(task.trainset)}
    chosen = list(first.values())[:most]
    return dspy.LabeledFewShot(k=len(chosen)).compile(student.reset_copy(), trainset=chosen, sample=False)
