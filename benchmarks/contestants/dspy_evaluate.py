"""DSPy's own evaluator, with the same signature and questions; its cache is off, as it comes with none on disk here."""

import dspy
from measure import QUESTION, asked, measured

address, at_once, examples = asked()


class Answer(dspy.Signature):
    """Answer the question about the Bible as briefly as possible: a name, a number or a few words."""

    context: str = dspy.InputField()
    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


dspy.configure(
    lm=dspy.LM("openai/scripted", api_base=address, api_key="none", cache=False, engine="lm15", temperature=0.0),
    adapter=dspy.ChatAdapter(),
)
questions = [
    dspy.Example(context="", question=QUESTION.format(number), answer="Seth").with_inputs("context", "question")
    for number in range(examples)
]
evaluate = dspy.Evaluate(
    devset=questions,
    metric=lambda example, answered, trace=None: example.answer in answered.answer,
    num_threads=at_once,
    display_progress=False,
)
program = dspy.Predict(Answer)
program(context="", question="Who begat Enos?")
measured(lambda: evaluate(program).score * examples / 100)
